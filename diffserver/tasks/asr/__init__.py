"""Speech recognition: the reference corpus, manifests, the network, and the task that joins them."""
