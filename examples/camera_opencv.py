"""Watch a camera with OpenCV: the program owns the camera and the loop, and is told what begins and ends.

    pip install 'avgn-edge[cpu,examples]'
    python examples/camera_opencv.py            # the first camera
    python examples/camera_opencv.py clip.mp4   # a file, as fast as it goes

OpenCV gives no sound, so the answers rest on what is seen; `doorbell.py` shows how sound goes in.
"""

from __future__ import annotations

import argparse
import time

import cv2

from avgn_edge import Recognizer


def main() -> None:
    """Watch until the source ends or Ctrl-C."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("source", nargs="?", default="0", help="a camera's number, or a file [0]")
    options.add_argument("--model", help="a bundle's folder [the packaged one]")
    options.add_argument("--budget", default="1gflops", help="a second [1gflops]")
    asked = options.parse_args()

    is_camera = asked.source.isdigit()
    camera = cv2.VideoCapture(int(asked.source) if is_camera else asked.source)
    if not camera.isOpened():
        raise SystemExit(f"error: {asked.source}: OpenCV cannot open it: check the number or the path")
    try:
        with Recognizer.open(asked.model) as recognizer:
            stream = recognizer.stream(asked.budget)
            while True:
                taken, frame = camera.read()
                if not taken:
                    break
                # A camera's frames are of now; a file's say when they are.
                time_s = time.monotonic() if is_camera else camera.get(cv2.CAP_PROP_POS_MSEC) / 1_000
                if stream.wants_frame(time_s):  # few are: the others need no conversion
                    frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                for update in stream.push_frame(frame, time_s):
                    print(f"{update.time_s:8.1f} s  {update.label} {update.score:.2f}", flush=True)
                    for event in update.events:
                        print(f"{update.time_s:8.1f} s  {event.event} of {event.label}", flush=True)
            for update in stream.finish():
                for event in update.events:
                    print(f"{update.time_s:8.1f} s  {event.event} of {event.label}", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        camera.release()


if __name__ == "__main__":
    main()
