"""The demo: real parts on one machine, a policy, and what was asked for beside what was measured.

What may live here: what only the demo needs (a sample service, a child Envoy, traffic, statistics, the story it
tells). What may not: anything that ``serve`` or a test of something else needs.
"""
