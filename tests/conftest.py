pytest_plugins = ["tests.support.etcd"]
