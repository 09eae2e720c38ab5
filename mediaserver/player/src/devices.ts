/** Cameras, microphones and the screen. */

export const none = "none";
export const screen = "screen";

/** What to send: a device id, "" for the default device, "none", or (picture only) "screen". */
export interface Choice {
  readonly camera: string;
  readonly microphone: string;
}

/** capture asks the browser for the chosen sources. The person may be asked for permission. */
export async function capture(choice: Choice): Promise<MediaStream> {
  if (!("mediaDevices" in navigator)) {
    throw new DOMException("", "SecurityError");
  }
  const stream = new MediaStream();
  const add = (from: MediaStream) => from.getTracks().forEach((track) => stream.addTrack(track));
  const wantsCamera = choice.camera !== none && choice.camera !== screen;
  const wantsMicrophone = choice.microphone !== none;
  try {
    if (choice.camera === screen) {
      add(await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 30 } }, audio: !wantsMicrophone }));
    }
    if (wantsCamera || wantsMicrophone) {
      add(
        await navigator.mediaDevices.getUserMedia({
          video: wantsCamera && {
            ...device(choice.camera),
            width: { ideal: 1280 },
            height: { ideal: 720 },
            frameRate: { ideal: 30, max: 30 },
          },
          audio: wantsMicrophone && { ...device(choice.microphone), channelCount: { ideal: 2 } },
        }),
      );
    }
  } catch (error) {
    stopAll(stream);
    throw error;
  }
  for (const track of stream.getVideoTracks()) {
    // An encoder told so keeps text sharp on a screen, and motion smooth from a camera.
    track.contentHint = choice.camera === screen ? "detail" : "motion";
  }
  return stream;
}

function device(id: string): MediaTrackConstraints {
  return id === "" ? {} : { deviceId: { exact: id } };
}

export function stopAll(stream: MediaStream | undefined): void {
  stream?.getTracks().forEach((track) => track.stop());
}

/** captureWords says why the browser gave no camera, microphone or screen. */
export function captureWords(error: unknown, choice: Choice): string {
  const what = choice.camera === screen ? "screen" : choice.camera === none ? "microphone" : "camera or microphone";
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
      return `The browser was not allowed to use the ${what}. Allow it in the address bar, then choose again.`;
    case "NotFoundError":
      return `No ${what} was found. Connect one, or choose “None” for what is missing.`;
    case "NotReadableError":
    case "AbortError":
      return `The ${what} cannot be used. Another program may be using it.`;
    case "OverconstrainedError":
      return "The chosen device is gone. Choose another.";
    case "SecurityError":
      return "Browsers give cameras only to secure pages. Open this page over https://, or on localhost.";
  }
  return `The ${what} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
}

export interface Option {
  readonly value: string;
  readonly label: string;
}

/** cameraOptions and microphoneOptions list what can be chosen. Names are empty before the first permission. */
export function cameraOptions(devices: readonly MediaDeviceInfo[], canShareScreen: boolean): Option[] {
  return [
    ...deviceOptions(devices, "videoinput", "Camera"),
    ...(canShareScreen ? [{ value: screen, label: "Screen or window" }] : []),
    { value: none, label: "None (sound only)" },
  ];
}

export function microphoneOptions(devices: readonly MediaDeviceInfo[]): Option[] {
  return [...deviceOptions(devices, "audioinput", "Microphone"), { value: none, label: "None" }];
}

function deviceOptions(devices: readonly MediaDeviceInfo[], kind: MediaDeviceKind, noun: string): Option[] {
  const found = devices.filter((d) => d.kind === kind && d.deviceId !== "");
  if (found.length === 0) {
    return [{ value: "", label: `Default ${noun.toLowerCase()}` }];
  }
  return found.map((d, i) => ({ value: d.deviceId, label: d.label === "" ? `${noun} ${i + 1}` : d.label }));
}
