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

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    def sigmoid_prime(z: np.ndarray) -> np.ndarray:
        return sigmoid(z) * (1 - sigmoid(z))

    def gradients(weights: Weights, x: np.ndarray, target: np.ndarray) -> Weights:
        """The book's four equations, BP1 to BP4."""
        zs, activations = [], [x]
        for weight, bias in weights:
            zs.append(activations[-1] @ weight + bias)
            activations.append(sigmoid(zs[-1]))
        delta = (activations[-1] - target) * sigmoid_prime(zs[-1])
        found: Weights = []
        for layer in range(len(weights))[::-1]:
            found.append((np.outer(activations[layer], delta), delta))
            if layer:
                delta = (weights[layer][0] @ delta) * sigmoid_prime(zs[layer - 1])
        return found[::-1]

    def run() -> tuple[float, Weights]:
        weights = [(weight.copy(), bias.copy()) for weight, bias in problem.weights]
        started = time.perf_counter()
        for rows in problem.batches:
            sums = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in weights]
            for row in rows:
                new = gradients(weights, images[row], targets[row])
                sums = [(a + c, b + d) for (a, b), (c, d) in zip(sums, new, strict=True)]
            rate = problem.learning_rate / len(rows)
            weights = [
                (weight - rate * d_weight, bias - rate * d_bias)
                for (weight, bias), (d_weight, d_bias) in zip(weights, sums, strict=True)
            ]
        return time.perf_counter() - started, weights

    return run
