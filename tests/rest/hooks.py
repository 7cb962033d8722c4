"""Puts names that exist into three paths of four, so that cases get past the 404. It knows nothing of
what is tested with them."""

import json
import os
import random

import schemathesis

NAMES = json.loads(os.environ["CAUCE_TEST_NAMES"])
CHOICE = random.Random(int(os.environ["CAUCE_TEST_SEED"]))


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    for name, known in NAMES.items():
        if path_parameters and name in path_parameters and CHOICE.random() < 0.75:
            path_parameters[name] = CHOICE.choice(known)
    return path_parameters
