"""The life of the filter module: the catalogue of modules, which of them each node runs, and how that changes.

What may live here: values and pure decisions about modules and rollouts, and the services that read and write them in
the store. What may not: xDS, HTTP. What a node is served follows from the store's watch alone.
"""
