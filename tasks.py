"""The front door: the commands of harness/tasks under one roof. Start it with ./invoke."""

from __future__ import annotations

import gc

from invoke.collection import Collection

from harness.tasks import backup, gate, inventory, judging, lab, nested, recovery, router, site, template

# The collector would look through every module again and again while they are imported, and find no garbage. A whole
# verify makes 140,000 objects that it would look through, and needs all of them to its end.
gc.set_threshold(200_000)

namespace = Collection()
for topic in (site, judging, recovery, gate):
    for name, task in Collection.from_module(topic).tasks.items():
        namespace.add_task(task, name)
for topic in (backup, inventory, router, template, nested, lab):
    namespace.add_collection(Collection.from_module(topic))
