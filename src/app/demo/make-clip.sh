#!/bin/sh
# Makes clip.flv, what `cauce demo` publishes in a loop. Needs FFmpeg with libx264 and drawtext.
#
# 8 s are 200 pictures, 4 GOPs and 375 AAC frames of 1024 samples at 48 kHz, all whole numbers, so
# that audio and video begin the next round together. Everything that moves or sounds has a period
# that divides 8 s, and the audio is taken from the second of two rounds: its first frame then fits
# to its last one.
set -eu
cd "$(dirname "$0")"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

ground="color=c=0x10242c:s=640x360:r=25:d=8"
bars="color=c=0x0b6e7f:s=640x36:r=25:d=8"
ball="color=c=0xffc857:s=44x44:r=25:d=8"
hand="color=c=0xff6b62:s=12x120:r=25:d=8"
text="drawtext=font=monospace:fontcolor=white:x=(w-tw)/2"

ffmpeg -nostdin -v error -y -f lavfi -i "$ground" -f lavfi -i "$bars" -f lavfi -i "$ball" -f lavfi -i "$hand" \
  -filter_complex "
    [0][1]overlay=x=0:y='162+110*sin(2*PI*t/8)'[a];
    [a][3]overlay=x='mod(t*80,640)':y='120+60*cos(2*PI*t/4)'[b];
    [b][2]overlay=x='298+250*sin(2*PI*t/4)':y='150+100*sin(2*PI*t/2)'[c];
    [c]$text:fontsize=72:y=96:text='%{eif\:floor(t)\:d}.%{eif\:mod(n\,25)*4\:d\:2}',
       $text:fontsize=28:y=196:text='picture %{eif\:n\:d\:3} of 200',
       $text:fontsize=22:y=300:text='cauce demo',format=yuv420p[v]" \
  -map '[v]' -frames:v 200 -c:v libx264 -profile:v main -preset slow -crf 27 -bf 2 -g 50 \
  -keyint_min 50 -sc_threshold 0 -x264-params open-gop=0 "$scratch/video.mp4"

# A quiet chord, and a tick each second.
ffmpeg -nostdin -v error -y -f lavfi -i "aevalsrc=\
'0.05*sin(2*PI*220*t)*(1+0.3*sin(2*PI*t/4))+0.25*sin(2*PI*880*t)*exp(-40*mod(t,1))|\
0.05*sin(2*PI*330*t)*(1+0.3*cos(2*PI*t/4))+0.25*sin(2*PI*880*t)*exp(-40*mod(t,1))':s=48000:d=24" \
  -c:a aac -b:a 96k -f adts "$scratch/audio.aac"
ffmpeg -nostdin -v error -y -ss 8 -i "$scratch/audio.aac" -c copy -frames:a 375 "$scratch/audio.mp4"

ffmpeg -nostdin -v error -y -i "$scratch/video.mp4" -i "$scratch/audio.mp4" -map 0:v -map 1:a -c copy \
  -fflags +bitexact -flags +bitexact -flvflags no_duration_filesize -f flv clip.flv
ls -l clip.flv
