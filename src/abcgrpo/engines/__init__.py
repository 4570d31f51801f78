"""Adapters for engines that take a policy loss from outside: prime-rl, SkyRL, NeMo-RL and slime.

Each is written to the engine's documented contract and tested against it with tensors; none has been run inside its
engine (`docs/engines.md`). An adapter translates names, calls the objective and logs; it imports nothing of its engine
before it is called.
"""
