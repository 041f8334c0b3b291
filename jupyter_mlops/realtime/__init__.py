"""What runs in a realtime worker process, and in the process that checks a model: the only users of onnxruntime."""
