"""The strings of a JSON body: where they are, and long ones left in the body instead of copied out of it."""
