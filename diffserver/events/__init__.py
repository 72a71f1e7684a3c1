"""Events of rollouts: written with what they tell of, and delivered to a webhook."""
