"""Scripts that look for faults of a page that are easy to miss. Each evaluates to a list, empty if all is well."""

from __future__ import annotations

LOW_CONTRAST = """(() => {
  const parse = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\\d.]+/g).map(Number);
    return { red, green, blue, alpha };
  };
  const over = (top, below) => {
    const mixed = (name) => top[name] * top.alpha + below[name] * (1 - top.alpha);
    return { red: mixed("red"), green: mixed("green"), blue: mixed("blue"), alpha: 1 };
  };
  const behind = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement) {
      const layer = parse(getComputedStyle(each).backgroundColor);
      if (layer.alpha > 0) layers.push(layer);
      if (layer.alpha === 1) break;
    }
    return layers.reduceRight((below, top) => over(top, below), { red: 255, green: 255, blue: 255, alpha: 1 });
  };
  const luminance = (colour) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(colour.red) + 0.7152 * part(colour.green) + 0.0722 * part(colour.blue);
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    const isVisible = node.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    if (!texts.currentNode.data.trim() || !isVisible) continue;
    if (node.closest("option, noscript, .offscreen, .skip")) continue;
    const below = behind(node);
    const [first, second] = [luminance(over(parse(getComputedStyle(node).color), below)), luminance(below)];
    const ratio = (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  return found;
})()"""
"""Texts with a contrast below 4.5:1, as WCAG 2.2 computes it (https://www.w3.org/TR/WCAG22/#contrast-minimum)."""

TOO_WIDE = """(() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")]
    .filter((each) => each.getBoundingClientRect().right > width + 1)
    .map((each) => `${each.tagName} ${each.className} ${each.textContent.slice(0, 40)}`);
})()"""
"""Elements because of which the page scrolls sideways."""

UNNAMED = """(() => {
  const named = (each) =>
    ["aria-label", "aria-labelledby"].some((name) => each.getAttribute(name)) ||
    each.labels?.length || each.textContent.trim();
  return [...document.querySelectorAll("button, input, select, a, table, dialog, [role=search], [role=img]")]
    .filter((each) => each.checkVisibility() && !named(each))
    .map((each) => each.outerHTML.slice(0, 120));
})()"""
"""Controls without a name, which a screen reader cannot say."""
