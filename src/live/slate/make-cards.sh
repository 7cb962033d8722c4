#!/bin/sh
# Makes the cards beside this script: one H.264 IDR per picture and resolution, which the slate
# repeats (segmenter::slate). Needs ffmpeg with libx264 and DejaVu Sans. The cards are committed:
# run this only to change how they look.
#
# One slice, Constrained Baseline and so CAVLC, no B pictures, one reference picture: that is what
# the all-skip P pictures between two IDRs are written for. The level allows 60 pictures a second,
# and the SPS names that rate: a player that takes it for the real one then rounds no times together.
set -eu
cd "$(dirname "$0")"
bold=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
plain=/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf

# card NAME WIDTH HEIGHT LEVEL CRF FIRST-LINE SECOND-LINE MARK
card() {
    font() { echo "fontcolor=$3:fontsize=h*$2:fontfile=$1:x=(w-text_w)/2"; }
    first="drawtext=text='$6':y=h*0.56:$(font "$bold" 0.105 0xe8ecf2)"
    second="drawtext=text='$7':y=h*0.71:$(font "$plain" 0.055 0x98a2b3)"
    ffmpeg -nostdin -v error -y -f lavfi -i "color=c=0x181c24:s=$2x$3:r=25:d=0.04" \
        -vf "$8,$first,$second,format=yuv420p" -frames:v 1 \
        -c:v libx264 -profile:v baseline -level "$4" -preset veryslow -crf "$5" -bf 0 -refs 1 \
        -threads 1 -x264-params "slices=1:sliced-threads=0:keyint=250:vfr-input=1:aud=0" \
        -color_primaries bt709 -color_trc bt709 -colorspace bt709 -color_range tv \
        -bsf:v "filter_units=pass_types=5|7|8,h264_metadata=tick_rate=120" -f h264 "$1-$3.h264"
}

bar="w=iw*0.024:h=ih*0.2:y=ih*0.27:c=0x5b9dff:t=fill"
paused="drawbox=x=iw*0.464:$bar,drawbox=x=iw*0.512:$bar"
dot="w=ih*0.04:h=ih*0.04:y=ih*0.35:t=fill"
lost="drawbox=x=iw*0.5-ih*0.12:c=0x5b9dff:$dot"
lost="$lost,drawbox=x=iw*0.5-ih*0.02:c=0x98a2b3:$dot,drawbox=x=iw*0.5+ih*0.08:c=0x4a5363:$dot"

for size in "1920 1080 4.2" "1280 720 3.2" "854 480 3.1" "640 360 3.1"; do
    # shellcheck disable=SC2086 # three words
    set -- $size
    card paused "$1" "$2" "$3" 20 "En pausa" "Paused" "$paused"
    card reconnecting "$1" "$2" "$3" 20 "Reconectando" "Reconnecting" "$lost"
done
