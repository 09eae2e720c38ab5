/** A small window of the browser's own with the picture, where there is one. */

/** canPictureInPicture reports whether the browser has such a window and this page may open it. */
export function canPictureInPicture(): boolean {
  return "pictureInPictureEnabled" in document && document.pictureInPictureEnabled;
}

/** inPictureInPicture is which of a player's elements is in the window, if any. */
function inPictureInPicture(videos: readonly HTMLVideoElement[]): HTMLVideoElement | undefined {
  const root = videos[0]?.getRootNode();
  const element = root instanceof Document || root instanceof ShadowRoot ? root.pictureInPictureElement : null;
  return videos.find((video) => video === element);
}

/** togglePictureInPicture opens the window for the element in front, or closes it. It is rejected where the browser refuses. */
export async function togglePictureInPicture(videos: readonly HTMLVideoElement[], shown: HTMLVideoElement | undefined): Promise<void> {
  if (inPictureInPicture(videos) !== undefined) {
    await document.exitPictureInPicture();
  } else if (shown !== undefined) {
    await shown.requestPictureInPicture();
  }
}

/** followPictureInPicture gives the window to the element that comes to the front. No tap is needed, because a window is open. */
export function followPictureInPicture(videos: readonly HTMLVideoElement[], shown: HTMLVideoElement): void {
  const before = inPictureInPicture(videos);
  if (before !== undefined && before !== shown) {
    void shown.requestPictureInPicture().catch(() => {
      // The old picture stands in the window; the viewer can close it.
    });
  }
}
