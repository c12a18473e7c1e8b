"""Fused kernels for training language models: the Swift library swift-liger behind upstream's names."""
