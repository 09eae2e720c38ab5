package server

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

// roomPage is the control room in a tab of Chromium.
type roomPage struct{ page }

// openRoom opens the control room as the person does who is given the URL.
func openRoom(t *testing.T, url string, options ...chromedp.ExecAllocatorOption) *roomPage {
	t.Helper()
	p := &roomPage{page{t, mediatest.Browser(t, options...)}}
	p.do(chromedp.Navigate(url))
	p.await(`document.querySelectorAll(".tile").length > 0`)
	p.do(chromedp.Evaluate[chromedp.Void](`window.text = (selector) => document.querySelector(selector).textContent`))
	return p
}

func (p *roomPage) await(expression string) {
	p.t.Helper()
	mediatest.Await(p.t, p.ctx, patience, expression, `({url: location.href, text: document.body.innerText})`)
}

func (p *roomPage) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(selector, chromedp.NodeVisible))
}

func (p *roomPage) press(key string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key))
}

func (p *roomPage) resize(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}
