"""The main job from nothing, on simulated devices."""
