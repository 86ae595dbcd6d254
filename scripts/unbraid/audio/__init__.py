"""Reading, measuring, resampling and writing audio, in blocks."""
