"""Work on a Ray cluster: jobs done on any node, done again where a node is lost."""
