"""Several control planes on one store: what each says of itself and of who is connected to it.

What may live here: the documents that replicas write for one another under a lease, their writing and their reading.
Status only: nothing of it decides what is served.
"""
