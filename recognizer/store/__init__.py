"""The store: one database that says what is true; every process reads it and none keeps its own version.

| table | one row for | changed by |
|---|---|---|
| `leases` | each name that one process at a time may hold; stays when released: its epoch grows | `leases` |
| `snapshots` | each data set of a task | `snapshots` |
| `nights` | each (task, night, inputs): how far it came, how it ended and why | `nights` |
| `versions` | each registered version of a task; a digest has one version | `versions` |
| `checks` | each check of a package's digest (or of a training's identity), in order, with its numbers | `checks` |
| `generation` | the store: one number that grows with every change of `served` | `served` |
| `served` | each task: its champion | `served`, for rollouts and the first champion |
| `outbox` | each event, written in the transaction of the change it tells of | `outbox` |
| `rollouts` | each rollout; of a task one is open and one waits at most | `rollouts`, `rollout_changes` |
| `evidence` | each batch of a worker for a rollout, with its place in the order | `evidence` |
| `workers` | each serving process: when it was heard last, what it holds | `workers` |
| `quarantine` | each digest that failed in service | `quarantine` |
| `freezes` | each task for which nothing changes | `freezes` |
| `audit` | each event of a champion or rollout, chained by hashes; never changed | `audit` |
| `audit_head` | the store: number and hash of the newest row of `audit` | `audit` |
| `tallies` | each rollout whose evidence was folded: how far, and what came of it | `tallies` |
| `predictions` | each answer that a client got, for as long as policy says | `predictions` |
| `feedback` | each truth that was told about an answer | `feedback` |
| `recognizer_schema` | the store: the revision of the tables above | Alembic |

Each file named in the last column holds plain functions whose first argument is the `Store`. Rules: SQLite in WAL
mode on a local disk, or Postgres; one writer at a time (`BEGIN IMMEDIATE`; on Postgres an advisory lock); leases,
epochs, the generation and champions change by a conditional UPDATE whose row count is checked besides; times are the
database's, in seconds since 1970.
"""

from recognizer.store.database import Store, open_store

__all__ = ["Store", "open_store"]
