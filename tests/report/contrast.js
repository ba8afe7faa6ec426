// The contrast of every text that can be seen, as WCAG 2 measures it. Each answer: ratio, what is asked of it, the text.
(() => {
  const parse = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [...numbers.slice(0, 3).map((one) => one * 255), numbers[3] ?? 1]
                                         : [numbers[0], numbers[1], numbers[2], numbers[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  // In a drawing, text stands on the last shape before it that is filled and holds its place.
  const shapeBelow = (element) => {
    const drawing = element.closest("svg");
    const own = element.getBoundingClientRect();
    const [x, y] = [own.left + own.width / 2, own.top + own.height / 2];
    let found = null;
    for (const shape of drawing.querySelectorAll("rect")) {
      if (!(shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
      const box = shape.getBoundingClientRect();
      const holds = box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
      if (holds && getComputedStyle(shape).fill !== "none") found = shape;
    }
    return found && parse(getComputedStyle(found).fill);
  };
  const below = (element) => {
    const inDrawing = element instanceof SVGElement && shapeBelow(element);
    if (inDrawing) return inDrawing;
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((ground, layer) => over(layer, ground), [255, 255, 255, 1]);
  };
  const shadeOf = (element) => {
    let shade = 1;
    for (let one = element; one; one = one.parentElement) shade *= Number(getComputedStyle(one).opacity);
    return shade;
  };
  const answers = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.data.trim();
    if (!text || element.closest("title, style") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ground = below(element);
    const colour = parse(element instanceof SVGElement ? style.fill : style.color);
    colour[3] *= shadeOf(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    answers.push([ratio(over(colour, ground), ground), large ? 3 : 4.5, text.slice(0, 40)]);
  }
  return answers;
})()
