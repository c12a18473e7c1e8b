import CVector

extension Interpreter {
    /// Lane j of the block becomes the sum over k of a's line times b's line j, piece by piece, so that a piece of a's
    /// line is widened once for all lanes. The order of the sum follows from the lines' length alone.
    mutating func runProduct(_ instruction: Instruction) {
        let contraction = contractions[instruction.number]
        func part(_ start: (ContractionAccess.Part) -> Int) -> Range<Int>? {
            contraction.part.map { part in
                let first = (frame + start(part)).load(as: Int.self)
                return first..<(first + max(0, (frame + part.count).load(as: Int.self)))
            }
        }
        let a = line(contraction.a, part { $0.startOfA })
        let b = line(contraction.b, part { $0.startOfB }, ahead: blockStart)
        guard let a, let b else { return }
        if a.length != b.length {
            return fail(.lengths(contraction.a.view, a.length, contraction.b.view, b.length), program: 0)
        }
        let sums = (frame + contraction.sums).assumingMemoryBound(to: cv_state.self)
        for lane in 0..<lanes { cv_reduce_begin(Int32(CV_SUM), sums + lane) }
        for first in stride(from: 0, to: a.length, by: ContractionAccess.piece) {
            let count = Int64(min(ContractionAccess.piece, a.length - first))
            let (left, right) = (frame + contraction.pieceOfA, frame + contraction.pieceOfB)
            a.load(left, a.address + first * a.stride * a.bytes, Int64(a.stride), count)
            for lane in 0..<lanes {
                let address = b.address + (lane * b.lineStride + first * b.stride) * b.bytes
                b.load(right, address, Int64(b.stride), count)
                cv_sum_product(sums + lane, left, right, count)
            }
        }
        let d = pointer(instruction.d).assumingMemoryBound(to: Float.self)
        for lane in 0..<lanes { d[lane] = sums[lane].value }
    }

    private struct Line {
        let address: UnsafeMutableRawPointer
        let length: Int
        let stride: Int
        let lineStride: Int
        let bytes: Int
        let load: cv_load
    }

    /// The line at a matrix's position, or some lines on; nil, with a failure, where it is outside.
    private mutating func line(
        _ matrix: ContractionAccess.Matrix, _ part: Range<Int>?, ahead: Int? = nil
    ) -> Line? {
        let (view, across) = (views[matrix.view], 1 - matrix.contracted)
        let first = (frame + matrix.position).load(as: Int.self) + (ahead ?? 0)
        let last = ahead == nil ? first : first + lanes - 1
        if first < 0 || last >= view.sizes[across] {
            fail(
                .outOfBounds(
                    view: matrix.view, dimension: across, index: first < 0 ? first : last,
                    size: view.sizes[across]), program: 0)
            return nil
        }
        let length = view.sizes[matrix.contracted], part = part ?? 0..<length
        if !part.isEmpty && (part.lowerBound < 0 || part.upperBound > length) {
            fail(
                .outOfBounds(
                    view: matrix.view, dimension: matrix.contracted,
                    index: part.lowerBound < 0 ? part.lowerBound : part.upperBound - 1, size: length),
                program: 0)
            return nil
        }
        let start = first * view.strides[across] + part.lowerBound * view.strides[matrix.contracted]
        return Line(
            address: view.base + start * matrix.elementBytes, length: part.count,
            stride: view.strides[matrix.contracted],
            lineStride: view.strides[across], bytes: matrix.elementBytes,
            // The plan took it from CVector for the view's storage.
            load: unsafeBitCast(matrix.load, to: cv_load.self))
    }
}
