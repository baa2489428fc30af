// Layers as a config writes them.

/** A layer of a config, "relu" or {dense: {units: 10}} or {dense: 10}, as {name, options}. */
export function parse(layer, types = {}) {
  if (typeof layer === "string") return { name: layer, options: {} };
  if (Array.isArray(layer)) return { name: "serial", options: { layers: layer } };
  const [[name, options]] = Object.entries(layer);
  const plain = options !== null && typeof options === "object" && !Array.isArray(options);
  return { name, options: plain ? { ...options } : { [Object.keys(types[name] ?? { layers: 1 })[0]]: options } };
}

export const written = ({ name, options }) => (Object.keys(options).length ? { [name]: options } : name);

/** The options of the layer at a path of the walk, as far as the config says. */
export function optionsOf({ config, layer_types: types }, path) {
  let layer = { name: "serial", options: { layers: [config.model].flat() } };
  for (const position of path) {
    const inner = layer.options.layers ?? (layer.options.layer && [layer.options.layer]);
    const next = inner?.[position];
    if (!next) return {};
    layer = parse(next, types);
    if (layer.name === "rematerialize") layer = parse(layer.options.layer, types);
  }
  return layer.options;
}
