/** element makes an element with children. Text is always text: nothing here parses markup. */
export function element<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/** setText changes a text only if it differs, so that a screen reader does not read it again. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** setList shows texts as the children of a list. */
export function setList(list: Element, tag: "li" | "span", texts: readonly string[], classOf: (index: number) => string = () => ""): void {
  while (list.children.length > texts.length) {
    list.lastElementChild?.remove();
  }
  texts.forEach((text, index) => {
    const child = list.children[index] ?? list.appendChild(document.createElement(tag));
    child.className = classOf(index);
    setText(child, text);
  });
}
