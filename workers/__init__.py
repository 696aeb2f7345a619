"""Ray actors and the heavy libraries behind them: rollout (vLLM), learner (DeepSpeed), weight sync."""
