import { followPictureInPicture } from "./pictureinpicture.ts";

/**
 * Sound decides which of the elements is seen and heard, and deals with browsers
 * that refuse sound, or playback, until somebody has tapped the page.
 */
export class Sound {
  mutedByBrowser = false;
  needsTap = false;
  paused = false;

  private element: HTMLVideoElement | undefined;
  private asking = false;

  constructor(
    private readonly videos: readonly HTMLVideoElement[],
    public muted: boolean,
    /** 0 to 1. */
    public volume: number,
    private readonly changed: () => void,
  ) {}

  /** shown is the element in front. */
  get shown(): HTMLVideoElement | undefined {
    return this.element;
  }

  /** show puts one element in front and gives it the sound. */
  show(video: HTMLVideoElement): void {
    this.element = video;
    for (const v of this.videos) {
      v.classList.toggle("shown", v === video);
      v.setAttribute("aria-hidden", String(v !== video));
      if (v !== video) {
        v.muted = true;
      }
    }
    video.muted = this.muted;
    video.volume = this.volume;
    followPictureInPicture(this.videos, video);
    if (this.paused) {
      video.pause();
    } else {
      void this.play(video);
    }
  }

  setMuted(muted: boolean): void {
    this.muted = muted;
    this.mutedByBrowser = false;
    if (this.element !== undefined) {
      this.element.muted = muted;
      void this.play(this.element);
    }
    this.changed();
  }

  /** setVolume takes 0 to 1; other values become the nearest of them. */
  setVolume(volume: number): void {
    this.volume = Math.min(1, Math.max(0, volume));
    if (this.element !== undefined) {
      this.element.volume = this.volume;
    }
    this.changed();
  }

  /** setPaused freezes the picture; going on continues live, not where it stopped. */
  setPaused(paused: boolean): void {
    this.paused = paused;
    if (paused) {
      this.element?.pause();
    } else if (this.element !== undefined) {
      void this.play(this.element);
    }
    this.changed();
  }

  /** allow is called during a tap or key press: what the browser had refused is asked for again. */
  allow(): void {
    this.needsTap = false;
    if (this.mutedByBrowser) {
      this.setMuted(false);
    }
    for (const v of this.videos) {
      // Some browsers give each element its own permission, also the one not in use yet.
      void v.play().catch(() => {});
    }
    this.changed();
  }

  /** keepPlaying resumes an element that the browser paused by itself: a call, a hidden page, a device change. */
  keepPlaying(): void {
    const video = this.element;
    if (video !== undefined && video.paused && !this.paused && !this.needsTap && !document.hidden) {
      void this.play(video);
    }
  }

  private async play(video: HTMLVideoElement): Promise<void> {
    if (this.asking || this.paused || video.networkState === video.NETWORK_EMPTY) {
      return;
    }
    this.asking = true;
    try {
      if ((await refused(video)) && video === this.element) {
        if (!video.muted) {
          video.muted = true;
          this.muted = true;
          this.mutedByBrowser = true;
          this.needsTap = await refused(video);
        } else {
          this.needsTap = true;
        }
        this.changed();
      }
    } finally {
      this.asking = false;
    }
  }
}

/** refused asks the element to play and says whether the browser forbids it. */
async function refused(video: HTMLVideoElement): Promise<boolean> {
  try {
    await video.play();
    return false;
  } catch (error) {
    // Anything else (AbortError: another stream was set meanwhile) mends itself.
    return error instanceof DOMException && error.name === "NotAllowedError";
  }
}
