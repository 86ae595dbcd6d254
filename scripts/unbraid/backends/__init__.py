"""One module or more per backend; registry.py knows them all, session.py is what they have in common."""

import os

# onnxruntime reports its use to its maker, and keeps a file of that in the user's home, unless told not to before it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
