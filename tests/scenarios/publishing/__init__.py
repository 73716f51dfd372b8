"""
Publishing under fire: writers and relays as real processes, killed and frozen, on a real PostgreSQL and a real log.

    settings, mutations   what the scenario's processes run with: small leases, and a promise taken out on demand
    writer                what an application does to its rows, seeded
    audit                 the triggers that write down what was really committed, and which lanes were taken over
    logs                  the whole log, read afterwards
    world                 all of it together; faults: what hurts it

LOGPIPE_SEED replays a seed, LOGPIPE_SOAK_SECONDS makes each scenario longer.
"""
