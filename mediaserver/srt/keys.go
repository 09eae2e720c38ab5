package srt

import (
	"bytes"
	"errors"
	"time"

	"github.com/datarhei/gosrt/crypto"
	"github.com/datarhei/gosrt/packet"
)

var (
	errPassphrase = errors.New("the passphrase is wrong")
	errCipher     = errors.New("the encoder's encryption is not AES-CTR")
	errKey        = errors.New("a packet whose key is not known")
)

const (
	// aesCTR is the only cipher of section 3.2.2.
	aesCTR = 2
	// keyPause is the shortest time between two new keys of a caller. Each takes a millisecond to unwrap.
	keyPause = time.Second
)

// keys decrypt the packets of a connection (section 6).
type keys struct {
	passphrase string
	cipher     crypto.Crypto
	known      packet.PacketEncryption // the keys that have come, as bits
	message    []byte                  // the last one that was taken
	taken      time.Duration           // when a message last came
}

// newKeys takes the key message of a handshake. Errors: errPassphrase if none of the passphrases is
// right, errCipher.
func newKeys(km *packet.CIFKeyMaterialExtension, passphrases []string) (*keys, error) {
	if km.Error != 0 || km.Cipher != aesCTR || km.Authentication != 0 {
		return nil, errCipher
	}
	for _, passphrase := range passphrases {
		cipher, err := crypto.New(int(km.KLen))
		if err != nil {
			return nil, errCipher
		}
		if cipher.UnmarshalKM(km, passphrase) == nil {
			return &keys{passphrase: passphrase, cipher: cipher, known: km.KeyBasedEncryption}, nil
		}
	}
	return nil, errPassphrase
}

// refresh takes a later key message. An error means that the keys stay as they are.
func (k *keys) refresh(message []byte, now time.Duration) error {
	if bytes.Equal(message, k.message) {
		return nil // the answer was lost
	}
	if k.taken > 0 && now-k.taken < keyPause {
		return errKey
	}
	k.taken = now
	var km packet.CIFKeyMaterialExtension
	if len(message) < headerSize {
		return errKey
	}
	if err := km.Unmarshal(message); err != nil {
		return err
	}
	// gosrt forgets what it has if the passphrase is wrong, so another one tries.
	if _, err := newKeys(&km, []string{k.passphrase}); err != nil {
		return err
	}
	if err := k.cipher.UnmarshalKM(&km, k.passphrase); err != nil {
		return err
	}
	k.known |= km.KeyBasedEncryption
	k.message = bytes.Clone(message)
	return nil
}

// decrypt decrypts a payload in place. key is the KK field of the packet (section 3.1).
func (k *keys) decrypt(payload []byte, key packet.PacketEncryption, s sequence) error {
	if key != packet.EvenKeyEncrypted && key != packet.OddKeyEncrypted || k.known&key == 0 {
		return errKey
	}
	return k.cipher.EncryptOrDecryptPayload(payload, key, uint32(s))
}
