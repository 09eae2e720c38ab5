// Clients of others, each with the same functions for a test: play, publish and stop. A token is
// sent as a bearer token.
import { WebRTCPlayer } from "@eyevinn/webrtc-player";
import { WHIPClient as EyevinnWHIPClient } from "@eyevinn/whip-web-client";
import { WHEPClient } from "whip-whep/whep.js";
import { WHIPClient } from "whip-whep/whip.js";

/** The names of the server-sent events that whip-whep got. */
window.events = [];

// whip-whep listens to unnamed events only, and a listener that comes later may miss the first event.
window.EventSource = class extends EventSource {
  constructor(...address) {
    super(...address);
    for (const name of ["active", "inactive", "reconnect", "viewercount"]) {
      this.addEventListener(name, ({ data }) => window.events.push(`${name} ${data}`));
    }
  }
};

const medooze = () => {
  let session;
  return {
    async play(video, url, token) {
      const pc = new RTCPeerConnection();
      for (const kind of ["audio", "video"]) {
        pc.addTransceiver(kind, { direction: "recvonly" });
      }
      video.srcObject = new MediaStream();
      pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
      session = new WHEPClient();
      await session.view(pc, url, token);
    },
    async publish(media, url, token) {
      const pc = new RTCPeerConnection();
      for (const track of media.getTracks()) {
        pc.addTransceiver(track, { direction: "sendonly", streams: [media] });
      }
      session = new WHIPClient();
      await session.publish(pc, url, token);
    },
    async stop() {
      await session.stop();
    },
  };
};

const eyevinn = () => {
  let stop;
  return {
    async play(video, url, token) {
      const player = new WebRTCPlayer({ video, type: "whep", iceServers: [] });
      await player.load(new URL(url), `Bearer ${token}`);
      stop = () => player.unload();
    },
    async publish(media, url, token) {
      const client = new EyevinnWHIPClient({ endpoint: url, opts: { authkey: token, iceServers: [] } });
      await client.setIceServersFromEndpoint(); // which also finds out whether candidates may be trickled
      await client.ingest(media);
      stop = () => client.destroy();
    },
    async stop() {
      await stop();
    },
  };
};

const clients = { "whip-whep": medooze(), eyevinn: eyevinn() };

/** play plays the stream at url in the video element whose id is the client's name. */
window.play = async (client, url, token) => {
  await clients[client].play(document.getElementById(client), url, token);
  return true;
};

/** publish publishes the camera and the microphone to url. */
window.publish = async (client, url, token) => {
  const media = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 360, frameRate: 30 }, audio: true });
  await clients[client].publish(media, url, token);
  return true;
};

window.stop = async (client) => {
  await clients[client].stop();
  return true;
};
