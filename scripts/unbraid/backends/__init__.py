"""One module or more per backend; registry.py knows them all, session.py is what they have in common."""

import os
import sys

# onnxruntime reports its use to its maker, and keeps a file of that in the user's home, unless told not to before it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# OpenVINO does so through a package of its own, and goes on without it where it cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
