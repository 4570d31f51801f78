"""Adapters for engines that take a policy loss from outside: SkyRL, torchtitan, Tinker, prime-rl, NeMo-RL and slime.

An adapter translates names, calls the objective with any clipping rule, and logs; it imports nothing of its engine
before it is called. Which of them their engine has called, and in which version: `docs/engines.md`.
"""
