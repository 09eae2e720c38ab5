// A page of React with the player, for a test.
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

function Page() {
  const [shown, setShown] = useState(true);
  const [token, setToken] = useState("first");
  const [leg, setLeg] = useState("Primary");
  return (
    <>
      <button id="toggle" onClick={() => setShown(!shown)}>Show or hide</button>
      <button id="renew" onClick={() => setToken("second")}>Renew the token</button>
      <p id="leg">{leg}</p>
      {shown && (
        <stream-pair name="primary" backup="backup" playOrder="webrtc" autoplay controls badge token={token} onswitched={(event) => setLeg(event.detail.role)} />
      )}
    </>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
