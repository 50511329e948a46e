"""Many tests at once."""


def holm(p_values):
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    out, most = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, p_values[i] * (len(p_values) - rank)))
        out[i] = most
    return out
