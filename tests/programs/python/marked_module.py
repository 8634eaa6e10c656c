"""Functions of several kinds. One is registered while the module is loaded, as the views of web frameworks are."""

registered = {}
kept = []


def register(function):
    registered[function.__name__] = function
    return function


@register
def handle(count: int, *, more: int = 1) -> int:
    """Doc."""
    kept.append(bytes(count << 20))
    return count + more


class Cart:
    def checkout(self, count):
        kept.append(bytes(count << 20))
        return count

    @classmethod
    def total(cls, prices):
        return cls.__name__, sum(prices)


def fails():
    raise KeyError("mine")


def never():
    pass
