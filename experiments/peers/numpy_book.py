"""Stochastic gradient descent as chapter 1 of Nielsen's book explains it: example by example.

Source of the algorithm: http://neuralnetworksanddeeplearning.com/chap1.html.
"""

import time

import numpy as np

from peers.problem import Epoch, Problem, Weights


def per_example(problem: Problem) -> Epoch:
    """Plain NumPy: for each example of a batch one pass forward and one backward, on vectors."""
    images = problem.images.astype(np.float32) / 255
    targets = np.eye(problem.sizes[-1], dtype=np.float32)[problem.labels]

    def gradients(weights: Weights, x: np.ndarray, target: np.ndarray) -> Weights:
        activations = [x]
        for weight, bias in weights:
            activations.append(1 / (1 + np.exp(-(activations[-1] @ weight + bias))))
        delta = (activations[-1] - target) * activations[-1] * (1 - activations[-1])
        found: Weights = []
        for layer in range(len(weights))[::-1]:
            found.append((np.outer(activations[layer], delta), delta))
            if layer:
                a = activations[layer]
                delta = (weights[layer][0] @ delta) * a * (1 - a)
        return found[::-1]

    def run() -> tuple[float, Weights]:
        weights = [(weight.copy(), bias.copy()) for weight, bias in problem.weights]
        started = time.perf_counter()
        for rows in problem.batches:
            sums = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in weights]
            for row in rows:
                for total, new in zip(
                    sums, gradients(weights, images[row], targets[row]), strict=True
                ):
                    total[0][...] += new[0]
                    total[1][...] += new[1]
            rate = problem.learning_rate / len(rows)
            for (weight, bias), (d_weight, d_bias) in zip(weights, sums, strict=True):
                weight -= rate * d_weight
                bias -= rate * d_bias
        return time.perf_counter() - started, weights

    return run
