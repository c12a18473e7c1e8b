package import LigerRuntime
package import Tile

extension NDArray {
    /// This array as [rows, columns], all leading dimensions flattened.
    ///
    /// - Throws: `RuntimeError` if it has no dimension, is not contiguous or not floating point.
    package func asRows(_ name: String) throws -> NDArray {
        guard let columns = shape.last, columns > 0 else {
            throw RuntimeError("\(name) has shape \(shape). Give it a last dimension of at least 1")
        }
        guard dtype.isFloat else {
            throw RuntimeError("\(name) holds \(dtype.rawValue). Give it f32, bf16 or f16")
        }
        guard isContiguous else {
            throw RuntimeError("\(name) of shape \(shape) has strides \(strides). Make it contiguous first")
        }
        return rows
    }

    /// Checks shape and, where given, storage type.
    ///
    /// - Throws: `RuntimeError` naming the array, what it is and what it must be.
    package func expect(_ name: String, shape expected: [Int], dtype type: DType? = nil) throws {
        if shape != expected || type.map({ $0 != dtype }) ?? false {
            let wanted = type.map { "\($0.rawValue) of shape \(expected)" } ?? "shape \(expected)"
            throw RuntimeError("\(name) must be \(wanted); found \(dtype.rawValue) of shape \(shape)")
        }
    }
}

extension NDArray {
    /// Checks that this array is floating point, contiguous and of a shape.
    ///
    /// - Throws: `RuntimeError` naming the array, what it is and what it must be.
    package func expectFloats(_ name: String, shape expected: [Int]) throws {
        try expectContiguous(name, "f32, bf16 or f16", dtype.isFloat, expected)
    }

    /// Checks that this array is f32, contiguous and of a shape.
    ///
    /// - Throws: `RuntimeError` naming the array, what it is and what it must be.
    package func expectF32(_ name: String, shape expected: [Int]) throws {
        try expectContiguous(name, "f32", dtype == .f32, expected)
    }

    private func expectContiguous(
        _ name: String, _ types: String, _ isOfType: Bool, _ expected: [Int]
    ) throws {
        guard isOfType, isContiguous, shape == expected else {
            throw RuntimeError(
                "\(name) must be \(types) of shape \(expected), contiguous; found \(dtype.rawValue) of "
                    + "shape \(shape) with strides \(strides)")
        }
    }
}
