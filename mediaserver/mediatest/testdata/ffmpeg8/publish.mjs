// Publishes a file with FFmpeg 8, in real time and without encoding it again, as
// `ffmpeg -re -i FILE -c copy -f FORMAT URL` does:
//
//   node publish.mjs FILE FORMAT URL [--second-audio] [--log] [OPTION=VALUE ...]
//
// FORMAT is whip or flv, and options are those of that muxer. --second-audio sends the first
// audio track twice, as two tracks. --log prints FFmpeg's log. It says "publishing" when the
// server has accepted, and ends with an error when the server stops taking packets.
import { setTimeout as sleep } from 'node:timers/promises';
import { AV_LOG_ERROR, AV_LOG_INFO, AVMEDIA_TYPE_AUDIO } from 'node-av/constants';
import { Dictionary, FFmpegError, FormatContext, Log, Packet } from 'node-av/lib';

const [file, format, url, ...rest] = process.argv.slice(2);
const flags = new Set(rest.filter(argument => argument.startsWith('--')));
const options = Object.fromEntries(rest.filter(argument => !argument.startsWith('--')).map(argument => {
	const [name, ...value] = argument.split('=');
	return [name, value.join('=')];
}));
Log.setLevel(flags.has('--log') ? AV_LOG_INFO : AV_LOG_ERROR);

/** check throws if an FFmpeg function returned an error. */
function check(result, what) {
	FFmpegError.throwIfError(result, what);
}

const input = new FormatContext();
check(await input.openInput(file), `open ${file}`);
check(await input.findStreamInfo(), 'find streams');

const output = new FormatContext();
check(output.allocOutputContext2(null, format, url), `make a ${format} muxer`);

/** addStream adds a track like one of the input's. */
function addStream(source) {
	const stream = output.newStream(null);
	source.codecpar.copy(stream.codecpar);
	stream.codecpar.codecTag = 0;
	stream.timeBase = source.timeBase;
	return stream;
}

const targets = input.streams.map(source => [addStream(source)]);
if (flags.has('--second-audio')) {
	const source = input.streams.find(stream => stream.codecpar.codecType === AVMEDIA_TYPE_AUDIO);
	targets[source.index].push(addStream(source));
}
if (format !== 'whip') check(await output.openOutput(), 'connect'); // WHIP does so by itself
check(await output.writeHeader(Dictionary.fromObject(options)), 'publish');
console.log('publishing');

const packet = new Packet();
packet.alloc();
const start = Date.now();
while ((await input.readFrame(packet)) >= 0) {
	const source = input.streams[packet.streamIndex];
	const due = Number(packet.dts) * 1000 * source.timeBase.num / source.timeBase.den;
	const wait = due - (Date.now() - start);
	if (wait > 0) await sleep(wait);
	for (const target of targets[source.index]) {
		const copy = packet.clone();
		copy.rescaleTs(source.timeBase, target.timeBase);
		copy.streamIndex = target.index;
		check(await output.interleavedWriteFrame(copy), 'send');
	}
	packet.unref();
}
check(await output.writeTrailer(), 'finish');
process.exit(0); // FFmpeg's threads would keep it alive
