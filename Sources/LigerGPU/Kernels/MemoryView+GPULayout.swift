package import Tile
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
    package var code: UInt8 {
        (hasUnitStride ? 1 : 0) | (isAligned ? 2 : 0) | (hasWholeVectors ? 4 : 0) | (isShifted ? 8 : 0)
    }
}

extension [MemoryView] {
    /// What a GPU kernel may rely on in these views together.
    package var gpuLayouts: [GPULayout] {
        var layouts = map(\.gpuLayout)
        func isCandidate(_ view: Int) -> Bool {
            !layouts[view].isAligned && layouts[view].hasUnitStride && self[view].shape.count > 1
        }
        let candidates = indices.filter(isCandidate)
        let narrowest = candidates.map { self[$0].dtype.byteCount }.min()
        guard let first = candidates.first(where: { self[$0].dtype.byteCount == narrowest }) else {
            return layouts
        }
        for view in candidates {
            layouts[view].isShifted = view == first || self[view].isShifted(as: self[first])
        }
        return layouts
    }
}

extension MemoryView {
    /// Whether rows at the same positions are as many elements behind a multiple of what 16 bytes of the other's hold, which
    /// are no wider. A call that was prepared may run on other memory, but on aligned arrays where they were.
    fileprivate func isShifted(as other: MemoryView) -> Bool {
        let starts = UInt(bitPattern: address) | UInt(bitPattern: other.address)
        guard starts % 16 == 0, dtype.byteCount >= other.dtype.byteCount,
            strides.count == other.strides.count
        else { return false }
        return zip(strides, other.strides).dropLast().allSatisfy {
            ($0 - $1) * other.dtype.byteCount % 16 == 0
        }
    }
}
