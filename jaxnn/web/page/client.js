// What the page asks for and is told comes through one client. server.js is that of the lab; whatever
// has the same methods can take its place, and the page needs no other word from outside.
//
// A client has
//   can                   what it can do; what it cannot is not offered:
//     can.train             whether it takes the commands of training, all but the last below
//     can.configure         which parts of the config it can change: "model", "optimizer",
//                           "batch_size", "seed"
//     can.batch_sizes       the batch sizes that there are, or null: any
//     can.prepare           whether it makes an example of a drawing
//     can.explain           whether the page is for readers who know nothing of networks: a sentence
//                           under the picture says what is seen
//   lab()                 promises the description of the lab: of the data set, the layers, the config
//   inputs(split, start, count)   promises the bytes of examples, as they are stored: a Uint8Array
//   targets(split, Type)  promises the classes of a split's examples, or their numbers: a typed array
//   predictions(split)    promises what the network takes these for: {header: {step}, arrays:
//                         {predicted: int32, confidence: float32, loss: float32}}
//   trace(example, signal)   promises what the network does with an example; may be aborted
//   prepare({width, height, ink})   promises the example that a drawing becomes, as an array; ink is
//                         a Uint8Array of a byte a pixel, 0 where there is none
//   send(command)         has something done, whose result is told; returns whether that is under way:
//     {type: "start"}       train until the end, or until {type: "pause"}
//     {type: "step"}, {type: "epoch"}, {type: "reset"}
//     {type: "set", learning_rate}
//     {type: "configure", model, optimizer, batch_size, seed}   any of these; starts anew
//     {type: "watch", example}   of which example snapshots are to be
//     {type: "ready"}       one snapshot is wanted, when there is a new one
//   listen(told)          tells from then on, by calling what `told` has:
//     told.lab(lab)         the description is another now, and training starts anew
//     told.status(status)   {running, compiling, step, epoch, steps_per_epoch, learning_rate, …}
//     told.history({reports})   all reports so far
//     told.report(report)   {step, epoch, loss, accuracy, validation, warnings, …}
//     told.snapshot(trace)  as from `trace`, of the example that is watched
//     told.error({message}) a command could not be carried out
//     told.connected()      commands are heard now; what was watched before is forgotten
//     told.lost({message})  they are not any more, and why
//
// An example is {split, index}, or {pixels, target} of a drawing: pixels an array as it is stored,
// target the number of a class, or null: the one that the network takes it for. An array is
// {data, shape}, its data typed and in the order of rows. A trace is {header, arrays}; jaxnn/web/server.py
// says what is in them, and what in the lab's description. A promise is broken with a Problem where a
// person can do something about it; "AbortError" is the name of the error where the asker gave up.

/** A message for people: what is wrong. */
export class Problem extends Error {}
