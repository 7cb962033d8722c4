#!/bin/sh
# Makes the golden inputs beside this script: test picture and tone, a few seconds each.
# The outputs are committed; encoders of another version give other bytes, so after running this
# also run the tests once with UPDATE_GOLDEN=1.
set -eu
cd "$(dirname "$0")"

picture="testsrc2=size=160x90:rate=25:duration=5"
tone="sine=frequency=440:sample_rate=44100:duration=5"
x264="-c:v libx264 -preset veryfast -crf 38 -g 25 -sc_threshold 0 -pix_fmt yuv420p -bitexact -threads 1"
aac="-c:a aac -b:a 32k -ac 1 -bitexact"

run() { ffmpeg -hide_banner -loglevel error -y "$@"; }

run -f lavfi -i "$picture" -f lavfi -i "$tone" $x264 -bf 2 $aac av_bframes.flv
run -f lavfi -i "$picture" $x264 -bf 0 video_only.flv
run -f lavfi -i "$tone" $aac audio_only.flv
ls -l ./*.flv
