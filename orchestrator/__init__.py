"""The core of Roundelay: records, configuration, ledger and the round driver. Imports no torch, vLLM or DeepSpeed."""
