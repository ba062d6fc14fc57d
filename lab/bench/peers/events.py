"""The paper's mesh as a discrete-event simulation."""
import random

from peer import processor_seconds


def simpy(data):
    import simpy as sp

    seconds, load = data.meta["simulated"], data.meta["load"]
    times = [list(data[f"times{k}"][0]) for k in range(len(load))]
    rng = random.Random(data.meta["round"])
    delays = [[] for _ in load]
    env = sp.Environment()
    nodes = [sp.Resource(env), sp.Resource(env)]

    def request(k, node):
        begin = env.now
        with node.request() as turn:
            yield turn
            yield env.timeout(rng.choice(times[k]))
        delays[k].append(env.now - begin)

    def arrivals(k):
        while True:
            yield env.timeout(rng.expovariate(load[k]))
            env.process(request(k, nodes[0 if rng.random() < data.meta["route"] else 1]))

    for k in range(len(load)):
        env.process(arrivals(k))
    t = processor_seconds(lambda: env.run(until=seconds))
    served = sum(map(len, delays))
    data.case("virtual testbed", served / t, **{f"mean delay {k + 1}": sum(d) / len(d) for k, d in enumerate(delays)})
    return "SimPy " + sp.__version__
