// Package antmedia speaks to players and SDKs of Ant Media Server as that server does, so that pages
// which have them need no change.
//
// At /{app}/websocket JSON messages open sessions that play and publish by WebRTC. The sessions are
// those of packages whep and whip: with the same tokens, places and bounds. To a player the server
// offers, and the player answers. A viewer of either stream of a pair gets the pair, unless the
// manifest says otherwise, so its own failover has nothing to do.
//
// Below /{app}/rest/v2/broadcasts clients read which streams there are.
//
// Start with NewHandler.
package antmedia
