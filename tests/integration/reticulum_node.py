"""One instance of Reticulum with one RNode, run by test_reticulum.py inside of the environment where rns is installed.

    reticulum_node.py CONFIG-DIR listen              prints "HEARD <hash> <data>" for each announce
    reticulum_node.py CONFIG-DIR announce WORDS      prints "IS <hash>", announces at each line on standard input

Prints ONLINE when its interface is. Ends with standard input.
"""
import sys
import time

import RNS


class Listener:
    aspect_filter = "cairn.laboratory"

    def received_announce(self, destination_hash, announced_identity, app_data):
        print("HEARD", destination_hash.hex(), (app_data or b"").decode(), flush=True)


def main():
    config, role = sys.argv[1:3]
    RNS.Reticulum(configdir=config, loglevel=RNS.LOG_VERBOSE)
    if role == "listen":
        RNS.Transport.register_announce_handler(Listener())
    else:
        destination = RNS.Destination(RNS.Identity(), RNS.Destination.IN, RNS.Destination.SINGLE, "cairn", "laboratory")
        print("IS", destination.hash.hex(), flush=True)
    radio = next(i for i in RNS.Transport.interfaces if "RNode" in str(type(i)))
    while not radio.online:
        time.sleep(0.05)
    print("ONLINE", flush=True)
    for _ in sys.stdin:
        if role == "announce":
            destination.announce(app_data=sys.argv[3].encode())
    RNS.exit()


main()
