import Tile
package import TileGPU

extension MemoryView {
    /// What a GPU kernel may rely on. Each layout met is compiled for itself.
    package var gpuLayout: GPULayout {
        var bits = UInt(bitPattern: address) | 16
        for (dimension, (size, stride)) in zip(shape, strides).enumerated() where size > 1 {
            if dimension < shape.count - 1 { bits |= UInt(bitPattern: stride * dtype.byteCount) }
        }
        return GPULayout(
            hasUnitStride: strides.last == 1, isAligned: bits % 16 == 0,
            hasWholeVectors: (shape.last ?? 1) * dtype.byteCount % 16 == 0)
    }
}

extension GPULayout {
    /// Layouts of which the same code comes.
    var code: UInt8 { (hasUnitStride ? 1 : 0) | (isAligned ? 2 : 0) | (hasWholeVectors ? 4 : 0) }
}
