import CCUDA
import LigerArrays
import LigerGPU
import Tile
import TileGPU

/// How the copy engine finds the tiles of one view of a launch. The map holds the view's address, so it is made for
/// each launch.
struct TileMap: AddressDescription {
    let map: TensorMap
    /// Where the launch's parameters have it.
    let offset: Int
    private let sizes: (rows: UInt64, columns: UInt64)
    private let rowBytes: UInt64
    private let type: Int32
    private let context: CUDAContext

    var view: Int { map.view }

    /// - Throws: `RuntimeError` where the copy engine cannot reach all of the view.
    init(
        _ map: TensorMap, of view: MemoryView, at offset: Int, kernel: String, _ context: CUDAContext
    ) throws {
        // A single row may have any stride; of lines without elements nothing is copied.
        let rowBytes = view.strides[0] * view.dtype.byteCount
        let reach =
            view.shape[0] > 1 && view.shape[1] > 0 ? rowBytes : max(16, (view.shape[1] * 2 + 15) & ~15)
        guard reach > 0, reach < 1 << 40, reach % 16 == 0, view.shape.allSatisfy({ $0 < 1 << 31 }) else {
            throw RuntimeError(
                "kernel \(kernel): a matrix of shape \(view.shape) with rows \(reach) bytes apart is beyond the "
                    + "copy engine, which takes multiples of 16 bytes below 2^40. Split it")
        }
        (self.map, self.offset, self.context) = (map, offset, context)
        sizes = (rows: UInt64(max(1, view.shape[0])), columns: UInt64(max(1, view.shape[1])))
        self.rowBytes = UInt64(reach)
        type = view.dtype == .f16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
    }

    /// Writes the map for an address into a launch's parameters, which are at a multiple of 64 bytes.
    ///
    /// - Throws: ``GPUError`` if the driver refuses it.
    func encode(_ address: UnsafeMutableRawPointer?, into parameters: UnsafeMutableRawPointer) throws {
        // Sizes and strides, then the box and steps, innermost first; no array is allocated.
        let numbers = (sizes.columns, sizes.rows, rowBytes)
        let words = (UInt32(map.columns), UInt32(map.rows), UInt32(1), UInt32(1))
        let target = (parameters + offset).assumingMemoryBound(to: CUtensorMap.self)
        let code = withUnsafeBytes(of: numbers) { numbers in
            withUnsafeBytes(of: words) { words in
                let sizes = numbers.assumingMemoryBound(to: UInt64.self).baseAddress
                let box = words.assumingMemoryBound(to: UInt32.self).baseAddress
                return context.functions.encodeTensorMap(
                    target, type, 2, address, sizes, sizes.map { $0 + 2 }, box, box.map { $0 + 2 }, 0,
                    CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, 0)
            }
        }
        if code != CUDA_SUCCESS { try context.check(code, "describing a matrix to the copy engine") }
    }
}
