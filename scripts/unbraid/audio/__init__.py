"""Audio in and out: probing, decoding, wav files, resampling, measuring. Everything streams."""
