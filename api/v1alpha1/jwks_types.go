package v1alpha1

// JWKS says who signs JSON Web Tokens, by a JSON Web Key Set (RFC 7517 section 5). It has
// exactly one of url and secretRef. Keys of RS256, ES256 and EdDSA are used, and keys of
// kty oct for HS256.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.secretRef)",message="set exactly one of url and secretRef"
type JWKS struct {
	// url is where the media pods fetch the key set. A token that it signed must have aud, as
	// it may have signed for other pairs too. An example of a url is
	// https://login.example.com/.well-known/jwks.json, at most 64 KiB. Redirects are not
	// followed. Private addresses are only called if the operator's --jwks-networks has
	// them. The keys are fetched anew every 5 minutes, and when a token names an unknown
	// key, at most once a minute. The last keys count for 24 hours if the URL fails.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\\\[[0-9A-Fa-f:.]+\\\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[!-~]*)?$') && !self.contains('#')",message="url must be an https:// URL without user and fragment, such as https://login.example.com/.well-known/jwks.json"
	URL string `json:"url,omitempty"`

	// secretRef names a Secret of your own with the key jwks, which is the key set in JSON.
	// Media pods take over a change without a restart.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// issuer is what iss of a token must be. Default: iss is not looked at.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Issuer string `json:"issuer,omitempty"`

	// audiences are values of aud that open the pair, at most 8, beside
	// streampair:NAMESPACE/NAME. The sub of such a token may be anything, such as a
	// person's name. Several pairs with the same audience open with the same token.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Audiences []string `json:"audiences,omitempty"`
}

// CalledURL returns url; empty: the keys are not at a URL, or there are none.
func (j *JWKS) CalledURL() string {
	if j == nil {
		return ""
	}
	return j.URL
}

// Secret returns secretRef; nil: the keys are not in a Secret, or there are none.
func (j *JWKS) Secret() *SecretReference {
	if j == nil {
		return nil
	}
	return j.SecretRef
}
