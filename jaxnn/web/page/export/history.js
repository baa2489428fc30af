// The reports of a training: put together, kept, thinned out, as jaxnn/web/history.py does it.

const REPORT = 100; // milliseconds at least between two reports
const LONGEST = 4000;

export class History {
  reports = [];
  #sums = null;
  #published = 0;

  /** `flops` are the operations of an example in a step; `batchSize` that of a step. */
  constructor(batchSize, flops) {
    this.batchSize = batchSize;
    this.flops = flops;
  }

  /** Takes what a step gave. */
  add(loss, correct) {
    const sums = (this.#sums ??= { steps: 0, loss: 0, correct: 0, seconds: 0, validation: null });
    sums.steps++;
    sums.loss += loss;
    sums.correct += correct;
  }

  /** Adds what the steps took. */
  took(seconds) {
    if (this.#sums) this.#sums.seconds += seconds;
  }

  /** Takes what the validation after these steps gave. */
  validated(validation) {
    if (this.#sums) this.#sums.validation = validation;
  }

  get due() {
    return performance.now() - this.#published >= REPORT;
  }

  /** What was added since the last time as one report; null where that is nothing. */
  publish(step, epoch) {
    const sums = this.#sums;
    if (!sums) return null;
    this.#sums = null;
    this.#published = performance.now();
    const last = this.reports.at(-1);
    const examples = sums.steps * this.batchSize;
    const speed = examples / sums.seconds;
    const report = {
      step, epoch,
      loss: sums.loss / sums.steps,
      accuracy: sums.correct / examples,
      examples_per_second: speed,
      train_seconds: (last?.train_seconds ?? 0) + sums.seconds,
      gflops: (speed * this.flops) / 1e9,
      validation: sums.validation,
      warnings: [],
    };
    this.reports.push(report);
    if (this.reports.length > LONGEST) this.#thin();
    return report;
  }

  /** Forgets what came after a step. */
  backTo(step) {
    this.#sums = null;
    this.reports = this.reports.filter((report) => report.step <= step);
  }

  #thin() {
    const { reports } = this;
    const apart = (2 * (reports.at(-1).step - reports[0].step)) / LONGEST;
    const kept = [reports[0]];
    for (const report of reports.slice(1)) if (report.step - kept.at(-1).step >= apart) kept.push(report);
    this.reports = kept;
  }
}
