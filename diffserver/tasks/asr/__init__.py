"""Speech recognition: the reference corpus, manifests, network, graph, and the task that joins them."""
